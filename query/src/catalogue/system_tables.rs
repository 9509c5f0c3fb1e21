//! The system tables and the shapes of their documents.
