//! The `dispatcher` room.
