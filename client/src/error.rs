//! The SDK's one error type, sorted by what its reader can do about it. Kafka's code is kept where there is one.
//! Knows nothing of how requests are sent or retried.

use std::sync::Arc;

use kafka_protocol::ResponseError;

/// Why a call failed. The variant names the remedy, the message names the thing.
///
/// Errors are cheap to clone: all records of a batch share the batch's error.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting or an argument is wrong: nothing was sent. Correct the call.
    #[error("{0}")]
    Usage(Arc<str>),
    /// What the call names does not exist (any more). Create it or correct the name.
    #[error("{message}: {code}")]
    NotFound {
        /// What was looked for.
        message: Arc<str>,
        /// Kafka's code.
        code: ResponseError,
    },
    /// The server refused the request for good. Sending it again as it is cannot help.
    #[error("{message}: {code}")]
    Rejected {
        /// What was refused, with the server's reason.
        message: Arc<str>,
        /// Kafka's code.
        code: ResponseError,
    },
    /// The server's certificate or this client's credentials were not accepted. Correct either.
    #[error("{0}")]
    Denied(Arc<str>),
    /// The server could not be reached, so nothing happened there. Retry, or correct the address.
    #[error("{0}")]
    Unreachable(Arc<str>),
    /// The server refused for now and did nothing. Retry later.
    #[error("{message}: {code}")]
    Unavailable {
        /// What was asked for.
        message: Arc<str>,
        /// Kafka's code.
        code: ResponseError,
    },
    /// The request left, and no clear answer came: its effect may have happened. Look before repeating it.
    #[error("{0}")]
    Uncertain(Arc<str>),
    /// The time allowed ran out before anything was sent. Retry, or allow more time.
    #[error("{0}")]
    TimedOut(Arc<str>),
    /// A newer producer took over this producer's id. Make a new producer.
    #[error("{0}")]
    Fenced(Arc<str>),
    /// The offset lies outside the partition's log and the consumer's policy is to stop. Seek.
    #[error("{0}")]
    OffsetOutOfRange(Arc<str>),
    /// The group has committed nothing for the partition and the consumer's policy is to stop. Commit an offset for the
    /// group, or choose where to begin.
    #[error("{0}")]
    NoOffset(Arc<str>),
    /// What the server sent is damaged or breaks the protocol. Report it.
    #[error("{0}")]
    Corrupt(Arc<str>),
    /// The client, producer or consumer was closed. Make a new one.
    #[error("{0} is closed")]
    Closed(&'static str),
}

impl Error {
    /// Kafka's error code, when the server gave one.
    #[must_use]
    pub fn code(&self) -> Option<ResponseError> {
        match self {
            Self::NotFound { code, .. } | Self::Rejected { code, .. } | Self::Unavailable { code, .. } => {
                Some(*code)
            }
            Self::OffsetOutOfRange(_) => Some(ResponseError::OffsetOutOfRange),
            Self::Fenced(_) => Some(ResponseError::InvalidProducerEpoch),
            _ => None,
        }
    }

    /// Whether the same call may succeed when it is made again. Where [`Error::may_have_happened`] holds too, making
    /// it again may repeat its effect.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::Unavailable { .. } | Self::Uncertain(_) | Self::TimedOut(_)
        )
    }

    /// Whether the effect of the call may have happened in spite of the error.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Uncertain(_) | Self::Corrupt(_))
    }

    /// Whether it is certain that the call had no effect.
    #[must_use]
    pub fn has_no_side_effects(&self) -> bool {
        !self.may_have_happened()
    }

    /// The error for a code that a server answered. `subject` names what was asked for, `reason` is the server's text.
    pub(crate) fn from_code(code: ResponseError, subject: &str, reason: Option<&str>) -> Self {
        use ResponseError as C;
        let message: Arc<str> = match reason.filter(|text| !text.is_empty()) {
            Some(reason) => format!("{subject}: {reason}").into(),
            None => subject.into(),
        };
        match code {
            C::UnknownTopicOrPartition
            | C::UnknownTopicId
            | C::InconsistentTopicId
            | C::ResourceNotFound
            | C::GroupIdNotFound => Self::NotFound { message, code },
            C::TopicAuthorizationFailed
            | C::GroupAuthorizationFailed
            | C::ClusterAuthorizationFailed
            | C::TransactionalIdAuthorizationFailed
            | C::SaslAuthenticationFailed => Self::Denied(format!("{message}: {code}").into()),
            C::InvalidProducerEpoch | C::ProducerFenced => {
                Self::Fenced(format!("{message}: a newer producer has taken over this producer's id").into())
            }
            // Kafka's meaning of these: the request's effect may still come about or has in part.
            C::RequestTimedOut => {
                let what = "the server did not get it done in time, and the effect may have happened";
                Self::Uncertain(format!("{message}: {code}: {what}; its log says why").into())
            }
            C::NetworkException | C::NotEnoughReplicasAfterAppend | C::UnknownServerError => {
                Self::Uncertain(format!("{message}: {code}: the effect may have happened").into())
            }
            C::OffsetOutOfRange => Self::OffsetOutOfRange(message),
            code if code.is_retriable() && code != C::CorruptMessage => Self::Unavailable { message, code },
            code => Self::Rejected { message, code },
        }
    }
}
