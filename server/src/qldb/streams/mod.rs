//! Journal streams: every block as the records that QLDB streamed (docs/compatibility.md, "Journal streams").
//!
//! | module | what lives there |
//! |---|---|
//! | `plain` | a stream as the body of one HTTP answer |

pub mod plain;
