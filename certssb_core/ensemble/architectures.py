"""The networks' names, which the config offers without loading torch; :data:`models.MODELS` builds them."""

ARCHITECTURES: dict[str, str] = {
    "small-cnn": "Two small convolutions, for 8×8 digits",
    "linear": "One linear layer, for few and very noisy images",
    "dense": "One hidden layer of 64 units",
    "mnist-cnn": "The published network for MNIST",
    "dct-ridge": "Ridge regression on low cosines, in closed form",
    "patch-ridge": "Ridge regression on answers of fixed filters, in closed form",
    "nearest-mean": "Nearest class mean, for members that see a dozen images",
    "discriminant": "Regularised linear discriminant, for members that see a few dozen images",
    "scattered-discriminant": "The same on sizes of oriented waves: accurate, with smaller margins",
    "strided-cnn": "Three strided convolutions, for 32×32 images",
    "pooled-cnn": "The same on averages of 2×2 pixels, for noisy 32×32 images",
    "cifar-resnet-16-32-64": "The published network for CIFAR-10",
    "cifar-preact-resnet18": "Pre-activation ResNet-18, for 32×32 images",
    "resnet18": "ResNet-18, for large images",
}

LINEAR = ("nearest-mean", "discriminant", "scattered-discriminant")
"""Networks with logits that are linear in a map of the pixels that lengthens no distance, so that they have margins."""

WITHOUT_NOISE = ("scattered-discriminant",)
"""Those whose map is no orthonormal projection: noise cannot be drawn behind it."""
