"""What a training script needs to hand a model to riverrun."""

from riverrun.export import save

__all__ = ["save"]
