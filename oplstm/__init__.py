"""The science: few-shot episodes, learners, networks and meta-training. Imports torch, numpy and safetensors only."""
