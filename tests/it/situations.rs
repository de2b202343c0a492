//! Six situations of an operator, written from the reference alone: planned at full size, run small.
