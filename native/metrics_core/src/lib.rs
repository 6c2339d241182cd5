//! Families of metrics, and the forms in which they are written.
