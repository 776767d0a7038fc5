"""The store, by what it promises."""
