//! What members of the protocol type `consumer` put into the opaque bytes of JoinGroup and SyncGroup: Kafka's
//! ConsumerProtocolSubscription and ConsumerProtocolAssignment, versions 0 to 3. A coordinator reads them to know who
//! subscribes to what, and writes assignments for classic members of a KIP-848 group. Knows no group.
//!
//! Bytes come from clients: nothing here allocates by a count that the bytes do not hold, and what cannot be read is
//! `None`. A version above 3 is read as 3, since later ones only append fields.

/// The protocol type of members that put these bytes.
pub const PROTOCOL_TYPE: &str = "consumer";

/// The newest version that is understood.
const VERSION_MAX: i16 = 3;

/// What a member subscribes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The version in which the member speaks.
    pub version: i16,
    /// The topics by name.
    pub topics: Vec<String>,
    /// The partitions that it owns, by topic; from version 1 on.
    pub owned: Vec<(String, Vec<i32>)>,
    /// The member's rack; from version 3 on.
    pub rack: Option<String>,
}

impl Subscription {
    /// Reads a subscription; `None` when the bytes are none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let version = reader.i16()?;
        if version < 0 {
            return None;
        }
        let topics = reader.array(Reader::string)?;
        reader.nullable_bytes()?;
        let mut read = Self { version: version.min(VERSION_MAX), topics, ..Self::default() };
        if version >= 1 {
            read.owned = reader.array(Reader::topic_partitions)?;
        }
        if version >= 2 {
            // The generation as of which the partitions are owned: the coordinator knows it better.
            reader.i32()?;
        }
        if version >= 3 {
            read.rack = reader.nullable_string()?;
        }
        Some(read)
    }
}

/// Reads an assignment, by topic name; `None` when the bytes are none. No bytes at all assign nothing, which is what
/// members get that a leader passed over.
#[must_use]
pub fn decode_assignment(bytes: &[u8]) -> Option<Vec<(String, Vec<i32>)>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut reader = Reader(bytes);
    if reader.i16()? < 0 {
        return None;
    }
    let partitions = reader.array(Reader::topic_partitions)?;
    reader.nullable_bytes()?;
    Some(partitions)
}

/// Writes an assignment in the version in which the member subscribed.
#[must_use]
pub fn encode_assignment(version: i16, partitions: &[(String, Vec<i32>)]) -> Vec<u8> {
    let mut bytes = version.clamp(0, VERSION_MAX).to_be_bytes().to_vec();
    put_count(&mut bytes, partitions.len());
    for (topic, partitions) in partitions {
        let length = i16::try_from(topic.len()).expect("a topic's name has at most 249 bytes");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
        put_count(&mut bytes, partitions.len());
        for partition in partitions {
            bytes.extend_from_slice(&partition.to_be_bytes());
        }
    }
    // No user data.
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    let count = i32::try_from(count).expect("a cluster has fewer than 2^31 partitions");
    bytes.extend_from_slice(&count.to_be_bytes());
}

/// The bytes that are left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<String> {
        self.nullable_string()?
    }

    fn nullable_string(&mut self) -> Option<Option<String>> {
        let length = self.i16()?;
        if length < 0 {
            return Some(None);
        }
        let bytes = self.take(usize::try_from(length).ok()?)?;
        Some(Some(String::from_utf8(bytes.to_vec()).ok()?))
    }

    fn nullable_bytes(&mut self) -> Option<()> {
        let length = self.i32()?;
        if length >= 0 {
            self.take(usize::try_from(length).ok()?)?;
        }
        Some(())
    }

    fn array<T>(&mut self, mut element: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.i32()?;
        let mut elements = Vec::new();
        // Grows with what is read: an element takes two bytes at least, so a false count runs out of bytes.
        for _ in 0..count.max(0) {
            elements.push(element(self)?);
        }
        Some(elements)
    }

    fn topic_partitions(&mut self) -> Option<(String, Vec<i32>)> {
        Some((self.string()?, self.array(Self::i32)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A subscription as Kafka's Java client writes it: topics `a` and `bc`, no user data, `a`-1 owned, generation 7,
    /// rack `r`.
    const GOLDEN: &[u8] =
        b"\0\x03\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff\0\0\0\x01\0\x01a\0\0\0\x01\0\0\0\x01\
        \0\0\0\x07\0\x01r";

    #[test]
    fn reads_each_version_of_a_subscription() {
        let full = Subscription {
            version: 3,
            topics: vec!["a".to_owned(), "bc".to_owned()],
            owned: vec![("a".to_owned(), vec![1])],
            rack: Some("r".to_owned()),
        };
        let cut = |version: u8, length: usize| {
            let mut bytes = GOLDEN[..length].to_vec();
            bytes[1] = version;
            Subscription::decode(&bytes)
        };
        assert_eq!(cut(3, GOLDEN.len()), Some(full.clone()));
        assert_eq!(cut(9, GOLDEN.len()), Some(full.clone()), "later versions append fields");
        assert_eq!(cut(2, 36), Some(Subscription { version: 2, rack: None, ..full.clone() }));
        assert_eq!(cut(1, 32), Some(Subscription { version: 1, rack: None, ..full.clone() }));
        assert_eq!(cut(0, 17), Some(Subscription { version: 0, rack: None, owned: vec![], ..full }));
    }

    #[test]
    fn bytes_that_end_early_are_no_subscription() {
        for length in 0..GOLDEN.len() {
            assert_eq!(Subscription::decode(&GOLDEN[..length]), None, "{length} bytes");
        }
        assert_eq!(Subscription::decode(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None, "a count without elements");
        assert_eq!(Subscription::decode(&[0xff, 0xff, 0, 0, 0, 0]), None, "a negative version");
    }

    #[test]
    fn assignments_come_back() {
        let partitions = vec![("a".to_owned(), vec![0, 2]), ("b".to_owned(), vec![1])];
        for version in 0..=VERSION_MAX {
            let bytes = encode_assignment(version, &partitions);
            assert_eq!(decode_assignment(&bytes), Some(partitions.clone()));
            assert_eq!(decode_assignment(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(encode_assignment(3, &[]), b"\0\x03\0\0\0\0\xff\xff\xff\xff");
        assert_eq!(decode_assignment(&[]), Some(vec![]));
    }
}
