//! The cluster's features (KIP-584), which ApiVersions tells and UpdateFeatures would change. Each has the one level
//! that this version of the product has; an upgrade of the agents is all that moves it.

/// A feature and its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Feature {
    /// Kafka's name for it.
    pub(super) name: &'static str,
    /// The level: at once the lowest and highest that is supported, and the one in force.
    pub(super) level: i16,
}

/// `group.version` says that groups may speak the protocol of KIP-848. From `metadata.version` consoles read which
/// release of Kafka the cluster is like: 27 is 4.1.
pub(super) const FEATURES: &[Feature] =
    &[Feature { name: "group.version", level: 1 }, Feature { name: "metadata.version", level: 27 }];
