//! One test binary: every vector file and every claim about hostile input.

mod checkpoint;
mod export;
mod full;
mod hostile;
mod ion_differential;
mod ion_generate;
mod ion_hostile;
mod ion_text;
mod ion_vectors;
mod leaf;
mod ledger;
mod qldb_chain;
mod receipt;
mod rotation;
mod tree;
mod vectors;
