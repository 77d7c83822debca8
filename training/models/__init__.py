"""Networks: backbones, the tasks they are fitted for, and micro-models held together in banks."""
