//! End-to-end tests against the real binary, through its sockets; and the simulator, which needs
//! neither.

mod backup;
mod bench;
mod cli_fixture;
mod cli_verify;
mod demo;
mod export_kill;
mod garbage;
mod grpc_digest;
mod grpc_sessions;
mod harness;
mod hostile;
mod kill;
mod pg_copy;
mod pg_export;
mod pg_limits;
mod pg_meta;
mod pg_prepared;
mod pg_sql;
mod pg_tls;
mod pg_transactions;
mod recorded;
mod rotation;
mod simulator;
mod soak;
mod wind;
