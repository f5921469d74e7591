//! A stand-in for the farmers' market, for development only.
