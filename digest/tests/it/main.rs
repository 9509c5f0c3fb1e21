//! One test binary: every vector file and every claim about hostile input.

mod checkpoint;
mod leaf;
mod tree;
mod vectors;
