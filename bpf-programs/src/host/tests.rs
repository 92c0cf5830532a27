//! Host tests on a source that is no kernel.
