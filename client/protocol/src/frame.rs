//! Frames and their headers, without I/O: a frame is four bytes of length and that many bytes of header and body.
//! The length is judged before the body is read, so that a caller can charge a byte budget first.
//! Knows the API table; knows nothing of sockets and of what a body says.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    api::{Api, ApiKey},
    messages::StrBytes,
    wire::{Reader, WireError},
};

/// Bytes of the length in front of every frame.
pub const FRAME_LENGTH_BYTES: usize = 4;

/// The longest frame that is taken by default, in bytes: Kafka's `socket.request.max.bytes`.
pub const FRAME_BYTES_MAX: usize = 100 << 20;

/// The longest frame that is taken from a peer that has not proved who it is, in bytes.
pub const FRAME_BYTES_MAX_UNAUTHENTICATED: usize = 16 << 10;

/// Key, version, correlation id and the length of the client id: no request is shorter.
const REQUEST_HEADER_BYTES_MIN: usize = 10;

/// Why a peer's frame cannot be taken. Nothing after it on the same connection can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is negative.
    #[error("frame length {0} is negative")]
    Negative(i32),
    /// The frame is longer than may be taken.
    #[error("frame of {len} bytes is longer than the limit of {max}; raise the limit or send less at once")]
    TooLong {
        /// The stated length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
}

/// The length of the frame whose first four bytes are given, at most `max`.
///
/// # Errors
/// [`FrameError`] when the length is negative or above `max`.
pub fn frame_len(prefix: [u8; FRAME_LENGTH_BYTES], max: usize) -> Result<usize, FrameError> {
    let stated = i32::from_be_bytes(prefix);
    let len = usize::try_from(stated).map_err(|_| FrameError::Negative(stated))?;
    if len > max {
        return Err(FrameError::TooLong { len, max });
    }
    Ok(len)
}

/// The header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API's row in the table; it lists `version`.
    pub api: &'static Api,
    /// The version of the request and of its response.
    pub version: i16,
    /// The client's number for the request; the response carries it back.
    pub correlation_id: i32,
    /// The client's name for itself.
    pub client_id: Option<StrBytes>,
}

/// Why a request's header cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The header is cut short or malformed.
    #[error("request header is malformed: {0}")]
    Malformed(#[from] WireError),
    /// The client id is not UTF-8.
    #[error("client id is not UTF-8")]
    ClientId,
    /// The API is not served. Kafka closes the connection.
    #[error("api key {0} is not served; ask ApiVersions for what is")]
    UnknownApi(i16),
    /// The version is not listed. Kafka closes the connection, except that ApiVersions is answered in version 0.
    #[error("{api} version {version} is not served; ask ApiVersions for what is")]
    UnsupportedVersion {
        /// The API.
        api: ApiKey,
        /// The version asked for.
        version: i16,
        /// The request's number, to answer it.
        correlation_id: i32,
    },
}

/// Splits a request's frame (without its length) into header and body.
///
/// # Errors
/// [`HeaderError`] when the header is malformed or asks for what the table does not list.
pub fn decode_request_header(frame: &Bytes) -> Result<(RequestHeader, Bytes), HeaderError> {
    let mut reader = Reader::new(frame);
    let code = reader.i16()?;
    let version = reader.i16()?;
    let correlation_id = reader.i32()?;
    let api = Api::find(code).ok_or(HeaderError::UnknownApi(code))?;
    if !api.supports(version) {
        return Err(HeaderError::UnsupportedVersion { api: api.key, version, correlation_id });
    }
    // The client id keeps its two-byte length in flexible versions too (KIP-482).
    let client_id = match reader.i16()? {
        -1 => None,
        len => {
            let len = usize::try_from(len).map_err(|_| WireError::NegativeLength(len.into()))?;
            let text = frame.slice_ref(reader.take(len)?);
            Some(StrBytes::from_utf8(text).map_err(|_| HeaderError::ClientId)?)
        }
    };
    if api.is_flexible(version) {
        skip_tagged_fields(&mut reader)?;
    }
    let body = frame.slice(frame.len() - reader.left()..);
    Ok((RequestHeader { api, version, correlation_id, client_id }, body))
}

/// The correlation id of a response's frame (without its length): tells a client which request is answered.
///
/// # Errors
/// [`WireError`] when the frame is too short.
pub fn response_correlation_id(frame: &Bytes) -> Result<i32, WireError> {
    Reader::new(frame).i32()
}

/// The body of a response's frame (without its length).
///
/// # Errors
/// [`WireError`] when the header is cut short or malformed.
pub fn response_body(frame: &Bytes, api: &Api, version: i16) -> Result<Bytes, WireError> {
    let mut reader = Reader::new(frame);
    reader.i32()?;
    if api.has_tagged_response_header(version) {
        skip_tagged_fields(&mut reader)?;
    }
    Ok(frame.slice(frame.len() - reader.left()..))
}

/// Passes over a section of tagged fields. None of them means anything in a header.
fn skip_tagged_fields(reader: &mut Reader<'_>) -> Result<(), WireError> {
    for _ in 0..reader.uvarint()? {
        reader.uvarint()?;
        let len = reader.uvarint()? as usize;
        reader.take(len)?;
    }
    Ok(())
}

/// Starts a request's frame with room for a body of `body_bytes`; [`finish_frame`] ends it.
pub(crate) fn start_request(header: &RequestHeader, body_bytes: usize) -> BytesMut {
    let client_id = header.client_id.as_deref().unwrap_or_default();
    let client_id_len = i16::try_from(client_id.len()).ok().filter(|_| header.client_id.is_some());
    let mut frame = start_frame(REQUEST_HEADER_BYTES_MIN + client_id.len() + 1 + body_bytes);
    frame.put_i16(header.api.key.code());
    frame.put_i16(header.version);
    frame.put_i32(header.correlation_id);
    // A name that is too long for its length field is left out rather than cut.
    frame.put_i16(client_id_len.unwrap_or(-1));
    if client_id_len.is_some() {
        frame.put_slice(client_id.as_bytes());
    }
    if header.api.is_flexible(header.version) {
        frame.put_u8(0);
    }
    frame
}

/// Starts a response's frame with room for a body of `body_bytes`; [`finish_frame`] ends it.
pub(crate) fn start_response(api: &Api, version: i16, correlation_id: i32, body_bytes: usize) -> BytesMut {
    let mut frame = start_frame(5 + body_bytes);
    frame.put_i32(correlation_id);
    if api.has_tagged_response_header(version) {
        frame.put_u8(0);
    }
    frame
}

fn start_frame(bytes: usize) -> BytesMut {
    let mut frame = BytesMut::with_capacity(FRAME_LENGTH_BYTES + bytes);
    frame.put_i32(0);
    frame
}

/// Fills in a frame's length.
///
/// # Errors
/// [`FrameError::TooLong`] when the frame is longer than its length field can say.
pub(crate) fn finish_frame(mut frame: BytesMut) -> Result<Bytes, FrameError> {
    let len = frame.len() - FRAME_LENGTH_BYTES;
    let stated = i32::try_from(len).map_err(|_| FrameError::TooLong { len, max: i32::MAX as usize })?;
    if let Some(prefix) = frame.first_chunk_mut() {
        *prefix = stated.to_be_bytes();
    }
    Ok(frame.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_judged_before_the_body() {
        let check = |length: i32, max: usize| frame_len(length.to_be_bytes(), max);
        assert_eq!(check(0, 10), Ok(0));
        assert_eq!(check(10, 10), Ok(10));
        assert_eq!(check(11, 10), Err(FrameError::TooLong { len: 11, max: 10 }));
        assert_eq!(check(-1, 10), Err(FrameError::Negative(-1)));
        assert_eq!(check(i32::MIN, 10), Err(FrameError::Negative(i32::MIN)));
        // "GET " of a lost HTTP client.
        assert!(matches!(frame_len(*b"GET ", FRAME_BYTES_MAX), Err(FrameError::TooLong { .. })));
    }

    fn request(code: i16, version: i16, rest: &[u8]) -> Bytes {
        let mut frame = BytesMut::new();
        frame.put_i16(code);
        frame.put_i16(version);
        frame.put_i32(77);
        frame.put_slice(rest);
        frame.freeze()
    }

    #[test]
    fn request_headers_are_split_from_their_bodies() {
        let check = |code, version, rest: &[u8], client_id: Option<&str>, body: &[u8]| {
            let (header, rest) =
                decode_request_header(&request(code, version, rest)).expect("a sound header");
            assert_eq!((header.api.key.code(), header.version, header.correlation_id), (code, version, 77));
            assert_eq!(header.client_id.as_deref(), client_id);
            assert_eq!(rest, body);
        };
        check(0, 3, b"\x00\x02mebody", Some("me"), b"body");
        check(0, 3, b"\xff\xff", None, b"");
        check(0, 9, b"\x00\x00\x00body", Some(""), b"body");
        check(0, 9, b"\xff\xff\x01\x05\x03abcbody", None, b"body");
    }

    #[test]
    fn bad_request_headers_are_refused() {
        let check = |code, version, rest: &[u8]| {
            decode_request_header(&request(code, version, rest)).expect_err("a bad header")
        };
        assert_eq!(check(7, 0, b"\xff\xff"), HeaderError::UnknownApi(7));
        assert_eq!(
            check(18, 99, b""),
            HeaderError::UnsupportedVersion { api: ApiKey::ApiVersions, version: 99, correlation_id: 77 },
        );
        assert_eq!(check(0, 3, b"\x00\x02\xff\xff"), HeaderError::ClientId);
        assert_eq!(check(0, 3, b"\xff\xfe"), HeaderError::Malformed(WireError::NegativeLength(-2)));
        let truncated = |need, left| HeaderError::Malformed(WireError::Truncated { need, left });
        assert_eq!(check(0, 3, b"\x00\x05abc"), truncated(5, 3));
        assert_eq!(check(0, 3, b""), truncated(2, 0));
        assert_eq!(check(0, 9, b"\xff\xff\xff\xff\xff\xff\x0f"), truncated(1, 0));
        assert_eq!(decode_request_header(&Bytes::from_static(b"\x00")), Err(truncated(2, 1)));
    }

    #[test]
    fn responses_of_flexible_versions_have_a_tagged_header_except_api_versions() {
        let check = |code, version, expect: &[u8]| {
            let api = Api::find(code).expect("a served api");
            let mut frame = start_response(api, version, 5, 4);
            frame.put_slice(b"body");
            let frame = finish_frame(frame).expect("a short frame");
            assert_eq!(frame, expect);
            let frame = frame.slice(FRAME_LENGTH_BYTES..);
            assert_eq!(response_correlation_id(&frame), Ok(5));
            assert_eq!(response_body(&frame, api, version).expect("a sound header"), b"body".as_slice());
        };
        check(0, 8, b"\x00\x00\x00\x08\x00\x00\x00\x05body");
        check(0, 9, b"\x00\x00\x00\x09\x00\x00\x00\x05\x00body");
        check(18, 4, b"\x00\x00\x00\x08\x00\x00\x00\x05body");
    }
}
