//! What the fuzz targets share: a limit on the memory that an input may cost, and checksums that hold. Knows nothing
//! of what is parsed.

mod steps;

use std::{alloc::System, fmt::Debug};

use cap::Cap;

pub use steps::Step;

// libFuzzer's own limit on allocations needs a sanitizer, which stable Rust does not have.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Runs `parse`, which may allocate at most `bytes` more than is allocated already. An allocation beyond that ends
/// the process, and libFuzzer keeps the input.
pub fn within<T>(bytes: usize, parse: impl FnOnce() -> T) -> T {
    let limit = ALLOCATOR.allocated().saturating_add(bytes);
    ALLOCATOR.set_limit(limit).expect("the limit lies above what is allocated");
    let parsed = parse();
    ALLOCATOR.set_limit(usize::MAX).expect("no limit is always possible");
    parsed
}

/// Overwrites a field with what makes the bytes sound, when they are long enough. No mutation would find a checksum.
pub fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *field = value;
    }
}

/// Whether a message has an unknown tagged field whose tag is 2^31 or more. The encoder counts such a field and leaves
/// it out, so that what it makes of the message cannot be read back. Nothing but the fuzz targets encodes such a one.
pub fn has_huge_tag(message: &impl Debug) -> bool {
    format!("{message:?}").contains("unknown_tagged_fields: {-")
}
