from torchvision.transforms import functional
from torchvision.transforms.v2.functional import InterpolationMode

__all__ = ["InterpolationMode", "functional"]
