//! The `completer` room.
