"""Who this node is: one Ed25519 key, and every other secret that follows from it (docs/identity.md)."""
