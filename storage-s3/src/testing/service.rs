//! The operations as `s3s` calls them, once it has checked the signature.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderName;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, BucketLocationConstraint,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput,
    CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, ETagCondition,
    GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput, GetObjectOutput,
    HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsV2Input, ListObjectsV2Output,
    ListPartsInput, ListPartsOutput, PutObjectInput, PutObjectOutput, UploadPartCopyInput,
    UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::{Shared, lock};

pub(super) struct Service(pub(super) Arc<Shared>);

type Asked<T> = S3Request<T>;
type Answered<T> = S3Result<S3Response<T>>;

#[async_trait]
impl S3 for Service {
    async fn create_bucket(&self, req: Asked<CreateBucketInput>) -> Answered<CreateBucketOutput> {
        lock(&self.0.world).create(&req.input.bucket)?;
        Ok(S3Response::new(CreateBucketOutput::default()))
    }

    async fn head_bucket(&self, req: Asked<HeadBucketInput>) -> Answered<HeadBucketOutput> {
        let mut world = lock(&self.0.world);
        let region = Some(world.options.region.clone());
        world.find(&req.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput {
            bucket_region: region,
            ..HeadBucketOutput::default()
        }))
    }

    async fn get_bucket_location(
        &self,
        req: Asked<GetBucketLocationInput>,
    ) -> Answered<GetBucketLocationOutput> {
        let mut world = lock(&self.0.world);
        let region = world.options.region.clone();
        world.find(&req.input.bucket)?;
        // The oldest region has no name here.
        let elsewhere = (region != "us-east-1").then(|| BucketLocationConstraint::from(region));
        Ok(S3Response::new(GetBucketLocationOutput {
            location_constraint: elsewhere,
        }))
    }

    async fn put_object(&self, req: Asked<PutObjectInput>) -> Answered<PutObjectOutput> {
        Ok(S3Response::new(self.0.put_object(req.input).await?))
    }

    async fn get_object(&self, req: Asked<GetObjectInput>) -> Answered<GetObjectOutput> {
        Ok(S3Response::new(self.0.get_object(&req.input)?))
    }

    async fn head_object(&self, req: Asked<HeadObjectInput>) -> Answered<HeadObjectOutput> {
        Ok(S3Response::new(self.0.head_object(&req.input)?))
    }

    async fn copy_object(&self, req: Asked<CopyObjectInput>) -> Answered<CopyObjectOutput> {
        // AWS has conditions on the destination since 2025; the types here do not know them.
        let condition = |name: HeaderName| match req.headers.get(name) {
            None => Ok(None),
            Some(value) => ETagCondition::parse_http_header(value.as_bytes())
                .map(Some)
                .map_err(|_| s3_error!(InvalidArgument)),
        };
        let destination = [
            condition(http::header::IF_MATCH)?,
            condition(http::header::IF_NONE_MATCH)?,
        ];
        let copied = self.0.copy_object(req.input, destination)?;
        Ok(S3Response::new(copied))
    }

    async fn delete_object(&self, req: Asked<DeleteObjectInput>) -> Answered<DeleteObjectOutput> {
        Ok(S3Response::new(self.0.delete_object(&req.input)?))
    }

    async fn delete_objects(
        &self,
        req: Asked<DeleteObjectsInput>,
    ) -> Answered<DeleteObjectsOutput> {
        Ok(S3Response::new(self.0.delete_objects(req.input)?))
    }

    async fn list_objects_v2(
        &self,
        req: Asked<ListObjectsV2Input>,
    ) -> Answered<ListObjectsV2Output> {
        Ok(S3Response::new(self.0.list_objects(req.input)?))
    }

    async fn create_multipart_upload(
        &self,
        req: Asked<CreateMultipartUploadInput>,
    ) -> Answered<CreateMultipartUploadOutput> {
        Ok(S3Response::new(self.0.create_upload(req.input)?))
    }

    async fn upload_part(&self, req: Asked<UploadPartInput>) -> Answered<UploadPartOutput> {
        Ok(S3Response::new(self.0.upload_part(req.input).await?))
    }

    async fn upload_part_copy(
        &self,
        req: Asked<UploadPartCopyInput>,
    ) -> Answered<UploadPartCopyOutput> {
        Ok(S3Response::new(self.0.upload_part_copy(&req.input)?))
    }

    async fn complete_multipart_upload(
        &self,
        req: Asked<CompleteMultipartUploadInput>,
    ) -> Answered<CompleteMultipartUploadOutput> {
        Ok(S3Response::new(self.0.complete_upload(req.input)?))
    }

    async fn abort_multipart_upload(
        &self,
        req: Asked<AbortMultipartUploadInput>,
    ) -> Answered<AbortMultipartUploadOutput> {
        Ok(S3Response::new(self.0.abort_upload(req.input)?))
    }

    async fn list_multipart_uploads(
        &self,
        req: Asked<ListMultipartUploadsInput>,
    ) -> Answered<ListMultipartUploadsOutput> {
        Ok(S3Response::new(self.0.list_uploads(req.input)?))
    }

    async fn list_parts(&self, req: Asked<ListPartsInput>) -> Answered<ListPartsOutput> {
        Ok(S3Response::new(self.0.list_parts(req.input)?))
    }
}
