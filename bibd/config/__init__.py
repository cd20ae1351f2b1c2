"""The configuration: what can be set (``model``), from where (``load``), and what follows (``modes``, ``resolve``,
``reload``, ``show``). docs/configuration.md is the user's side of it.
"""
