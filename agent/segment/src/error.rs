//! Why the store could not do something, and how that is told from what a store client reports.

use std::{error::Error, io};

/// Why the store could not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No attempt succeeded before the deadline.
    #[error("the object store does not answer: {0}")]
    Unavailable(String),
    /// The object is not there.
    #[error("object {0} is missing")]
    Missing(String),
    /// The store refuses us.
    #[error("the object store denies access: {0}; check the credentials and the bucket policy")]
    Denied(String),
    /// The disk below the store is full, or a quota is used up.
    #[error("the object store has no space left: {0}; free some space or raise the quota")]
    Full(String),
    /// The object is not what it should be.
    #[error("object {0} is damaged: {1}")]
    Damaged(String, String),
}

impl StoreError {
    /// Tells apart what a store client reports.
    #[must_use]
    pub fn from_store(error: &object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { path, .. } => Self::Missing(path.clone()),
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                Self::Denied(one_line(error))
            }
            other => match io_kind(other) {
                Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                    Self::Denied(one_line(other))
                }
                Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                    Self::Full(one_line(other))
                }
                _ => Self::Unavailable(one_line(other)),
            },
        }
    }

    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// The kind of the operating system's error below a store error, if there is one.
fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

/// The longest text of a store's error that is passed on, in characters.
const TEXT_CHARS_MAX: usize = 300;

/// An error's text in one line of bounded length: stores put whole XML documents into theirs.
fn one_line(error: &object_store::Error) -> String {
    let text = error.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(kind: io::ErrorKind) -> object_store::Error {
        object_store::Error::Generic { store: "test", source: Box::new(io::Error::from(kind)) }
    }

    #[test]
    fn errors_are_told_apart() {
        let source = || Box::new(io::Error::other("no"));
        let path = || "a/b".to_owned();
        let of = |error: object_store::Error| StoreError::from_store(&error);
        assert_eq!(
            of(object_store::Error::NotFound { path: path(), source: source() }),
            StoreError::Missing(path())
        );
        let denied = of(object_store::Error::PermissionDenied { path: path(), source: source() });
        assert!(matches!(denied, StoreError::Denied(_)), "{denied}");
        let denied = of(object_store::Error::Unauthenticated { path: path(), source: source() });
        assert!(matches!(denied, StoreError::Denied(_)), "{denied}");
        assert!(matches!(of(generic(io::ErrorKind::PermissionDenied)), StoreError::Denied(_)));
        assert!(matches!(of(generic(io::ErrorKind::StorageFull)), StoreError::Full(_)));
        assert!(matches!(of(generic(io::ErrorKind::ConnectionReset)), StoreError::Unavailable(_)));
    }

    #[test]
    fn texts_are_one_bounded_line() {
        let long = format!("<Error>\n{}\n</Error>", "x".repeat(10_000));
        let error = object_store::Error::Generic { store: "test", source: long.into() };
        let shown = StoreError::from_store(&error).to_string();
        assert!(shown.len() < 400 && !shown.contains('\n'), "{shown}");
    }
}
