"""What a micro-model is, and how one is fitted, judged and stored; plain torch, no Ray."""
