//! The gRPC adapter in front of the farmers' market outside.
