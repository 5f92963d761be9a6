from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

__all__ = ["pil_to_tensor", "to_pil_image"]
