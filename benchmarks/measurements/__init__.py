"""What the command measures, one part in each module, as ``measure(session)``.

They run in the process that measures: they start others, ask them in turns and note
what came out. None imports JAX or PyTorch.
"""
