//! All services in one process: the embedded runtime.
