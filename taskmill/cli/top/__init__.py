"""``taskmill top``: the live view, as states, keys and pictures around a small loop."""
