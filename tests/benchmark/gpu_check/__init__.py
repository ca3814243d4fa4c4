"""What an NVIDIA GPU makes of the program, in minutes: ``python -m tests.benchmark.gpu_check``, or ``make gpu-check``.

It runs from a checkout, without an installation, where only torch, torchvision, NumPy, Pillow, safetensors, psutil,
click and pytest are there. Every part has a process of its own and a share of the time, and whatever is measured is
written at once, so that no failure or end loses what came before it.
"""
