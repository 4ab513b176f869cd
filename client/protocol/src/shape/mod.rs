//! The guard in front of the message decoder, which allocates whatever a count on the wire says: it walks a body by
//! the shape of its message and lets nothing pass whose counts and lengths its bytes do not bear out.
//! Knows where fields begin and end, nothing of what they mean.

mod requests;
mod responses;

use crate::{
    api::Api,
    wire::{Reader, WireError},
};

/// A request holds at most this many array elements and tagged fields in all. Each costs some hundred bytes of memory
/// when it is decoded, however little it took on the wire.
pub const REQUEST_ELEMENTS_MAX: usize = 1 << 17;
/// A response holds at most this many array elements and tagged fields in all.
pub const RESPONSE_ELEMENTS_MAX: usize = 1 << 20;

/// Why a body does not have the shape of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A field is cut short or malformed.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// A count promises more elements than bytes are left.
    #[error("a count of {count} cannot be met by the {left} bytes that are left")]
    Count {
        /// The count.
        count: usize,
        /// Bytes that are left after it.
        left: usize,
    },
    /// There are more array elements and tagged fields than may be decoded at once.
    #[error("the message has more than {max} elements; ask for less at once")]
    TooManyElements {
        /// The limit.
        max: usize,
    },
    /// A tagged field does not end where its length says.
    #[error("tagged field {tag} has {left} bytes too many")]
    TagLength {
        /// The tag.
        tag: u32,
        /// Bytes after its value.
        left: usize,
    },
}

/// Versions have no upper end yet.
const MAX: i16 = i16::MAX;

/// A field and the versions that have it.
#[derive(Debug)]
struct Field {
    tag: Option<u32>,
    since: i16,
    until: i16,
    kind: Kind,
}

/// How a field lies on the wire. What is nullable needs no mark here: the walker passes a null, the decoder judges it.
#[derive(Debug)]
enum Kind {
    /// A number, boolean or UUID of that many bytes.
    Fixed(usize),
    /// A length of two bytes (a varint where flexible) and UTF-8.
    String,
    /// A length of four bytes (a varint where flexible) and bytes.
    Bytes,
    /// A count of four bytes (a varint where flexible) and elements.
    Array(&'static Kind),
    /// Fields, followed by tagged fields where flexible.
    Struct(&'static [Field]),
    /// A byte that says whether a struct follows, and the struct.
    Optional(&'static [Field]),
}

const fn field(since: i16, until: i16, kind: Kind) -> Field {
    Field { tag: None, since, until, kind }
}

const fn tagged(tag: u32, since: i16, until: i16, kind: Kind) -> Field {
    Field { tag: Some(tag), since, until, kind }
}

impl Field {
    fn is_in(&self, version: i16) -> bool {
        (self.since..=self.until).contains(&version)
    }
}

/// Walks over a request's body and answers how many bytes follow it.
///
/// # Errors
/// [`ShapeError`] when the body does not have the request's shape.
pub fn check_request(api: &Api, version: i16, body: &[u8]) -> Result<usize, ShapeError> {
    check(requests::shape(api.key), api.is_flexible(version), version, body, REQUEST_ELEMENTS_MAX)
}

/// Walks over a response's body and answers how many bytes follow it.
///
/// # Errors
/// [`ShapeError`] when the body does not have the response's shape.
pub fn check_response(api: &Api, version: i16, body: &[u8]) -> Result<usize, ShapeError> {
    check(responses::shape(api.key), api.is_flexible(version), version, body, RESPONSE_ELEMENTS_MAX)
}

fn check(
    shape: &[Field],
    flexible: bool,
    version: i16,
    body: &[u8],
    elements_max: usize,
) -> Result<usize, ShapeError> {
    let mut walker = Walker { version, flexible, elements: 0, elements_max };
    let mut reader = Reader::new(body);
    walker.fields(shape, &mut reader)?;
    Ok(reader.left())
}

struct Walker {
    version: i16,
    flexible: bool,
    elements: usize,
    elements_max: usize,
}

impl Walker {
    fn fields(&mut self, fields: &[Field], reader: &mut Reader<'_>) -> Result<(), ShapeError> {
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.is_in(version)) {
            self.value(&field.kind, reader)?;
        }
        if self.flexible { self.tagged_fields(fields, reader) } else { Ok(()) }
    }

    fn value(&mut self, kind: &Kind, reader: &mut Reader<'_>) -> Result<(), ShapeError> {
        match kind {
            Kind::Fixed(bytes) => {
                reader.take(*bytes)?;
            }
            Kind::String if !self.flexible => {
                let len = reader.i16()?.into();
                reader.take(length(len)?)?;
            }
            Kind::String | Kind::Bytes => {
                let len = self.length(reader)?;
                reader.take(len)?;
            }
            Kind::Array(element) => self.elements(element, reader)?,
            Kind::Struct(fields) => self.fields(fields, reader)?,
            Kind::Optional(fields) => {
                if reader.u8()? == 1 {
                    self.fields(fields, reader)?;
                }
            }
        }
        Ok(())
    }

    fn elements(&mut self, element: &Kind, reader: &mut Reader<'_>) -> Result<(), ShapeError> {
        let count = self.length(reader)?;
        let left = reader.left();
        if count > left {
            return Err(ShapeError::Count { count, left });
        }
        if let Kind::Fixed(bytes) = element {
            // These take no more memory than on the wire.
            reader.take(count.saturating_mul(*bytes))?;
            return Ok(());
        }
        self.charge(count)?;
        for _ in 0..count {
            self.value(element, reader)?;
        }
        Ok(())
    }

    /// The decoder reads a tag that it knows by its value alone and passes over others by their length, so both must
    /// agree.
    fn tagged_fields(&mut self, fields: &[Field], reader: &mut Reader<'_>) -> Result<(), ShapeError> {
        for _ in 0..reader.uvarint()? {
            self.charge(1)?;
            let tag = reader.uvarint()?;
            let len = reader.uvarint()? as usize;
            let mut value = Reader::new(reader.take(len)?);
            let known = fields.iter().find(|field| field.tag == Some(tag) && field.is_in(self.version));
            if let Some(field) = known {
                self.value(&field.kind, &mut value)?;
                if value.left() > 0 {
                    return Err(ShapeError::TagLength { tag, left: value.left() });
                }
            }
        }
        Ok(())
    }

    /// The length of bytes or the count of an array; a null has none.
    fn length(&self, reader: &mut Reader<'_>) -> Result<usize, ShapeError> {
        if self.flexible {
            return Ok((reader.uvarint()? as usize).saturating_sub(1));
        }
        Ok(length(reader.i32()?)?)
    }

    fn charge(&mut self, elements: usize) -> Result<(), ShapeError> {
        self.elements = self.elements.saturating_add(elements);
        if self.elements > self.elements_max {
            return Err(ShapeError::TooManyElements { max: self.elements_max });
        }
        Ok(())
    }
}

fn length(stated: i32) -> Result<usize, WireError> {
    if stated == -1 {
        return Ok(0);
    }
    usize::try_from(stated).map_err(|_| WireError::NegativeLength(stated.into()))
}

#[cfg(test)]
mod tests;
