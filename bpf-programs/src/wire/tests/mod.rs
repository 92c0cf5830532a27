//! Tests of all structs and decoders.

mod btf;
mod decode;
mod layout;
