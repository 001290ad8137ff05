//! x
pub(crate) fn request_id() -> String {
    String::new()
}
