//! Kafka's error codes, in one place. The codes are part of the protocol and are taken from Kafka's own list.

pub use kafka_protocol::error::ResponseError;

/// The code that stands for success.
pub const NO_ERROR: i16 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kafkas() {
        let check = |error: ResponseError, code: i16| {
            assert_eq!(error.code(), code);
            assert_eq!(ResponseError::try_from_code(code), Some(error));
        };
        check(ResponseError::UnknownServerError, -1);
        check(ResponseError::OffsetOutOfRange, 1);
        check(ResponseError::CorruptMessage, 2);
        check(ResponseError::UnknownTopicOrPartition, 3);
        check(ResponseError::MessageTooLarge, 10);
        check(ResponseError::InvalidTopicException, 17);
        check(ResponseError::InvalidTimestamp, 32);
        check(ResponseError::UnsupportedVersion, 35);
        check(ResponseError::UnsupportedForMessageFormat, 43);
        check(ResponseError::OutOfOrderSequenceNumber, 45);
        check(ResponseError::DuplicateSequenceNumber, 46);
        check(ResponseError::UnsupportedCompressionType, 76);
        check(ResponseError::InvalidRecord, 87);
        check(ResponseError::UnknownTopicId, 100);
        assert_eq!(ResponseError::try_from_code(NO_ERROR), None);
    }
}
