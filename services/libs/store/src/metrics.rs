//! What metrics of a service are told apart by.

use prometheus_client::encoding::EncodeLabelSet;

/// The label of what each service of a process counts for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServiceLabels {
    /// The service's name.
    pub service: &'static str,
}
