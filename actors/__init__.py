"""The supervision tree of a bibd node: who is alive, and who talks to whom. One folder a child; ``app`` is the tree."""
