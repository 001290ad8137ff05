//! The reference driver.
/// In memory.
#[derive(Debug)]
pub struct MemoryDriver {}
