"""What a user would write without relvit_lab: a torchvision data set that augments patch by patch, in a DataLoader.

It does the same work as relvit_lab's pipeline (§4.1), with the same parameters: the image's random resized crop and
flip, every patch's crop, colour jitter and grey-scale, the shuffle, normalising, and the four targets as permuted.
"""

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

BATCH = 64  # small, so that both workers are busy to the end


class PatchDataset(Dataset):
    """PIL images, augmented as tensors; an item is (image, label, the four targets)."""

    def __init__(self, images: Tensor, labels: Tensor, size: int, patch: int, mean, std, targets: tuple[Tensor, ...]):
        """images: (n, 3, H, W) uint8. targets: spatial relations, distances, angles (N, N), absolute positions (N,)."""
        self.images = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
        self.labels, self.targets, self.patch = labels, targets, patch
        self.image_transform = T.Compose([T.RandomResizedCrop(size), T.RandomHorizontalFlip()])
        self.patch_transform = T.Compose([
            T.RandomCrop(round(patch / 1.15)),
            T.Resize(patch),
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            T.RandomGrayscale(0.2),
        ])  # fmt: skip
        self.to_tensor, self.normalise = T.ToTensor(), T.Normalize(mean, std)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        image = self.image_transform(self.images[index])
        p = torch.randperm(len(self.targets[-1]))
        relations, distances, angles, positions = self.targets
        targets = (relations[p][:, p], distances[p][:, p], angles[p][:, p], positions[p])
        return self.normalise(self.augmented_patches(image, p.tolist())), self.labels[index], targets

    def augmented_patches(self, image: Image.Image, order: list[int]) -> Tensor:
        """The image (3, size, size) of its patches in that order, each augmented by itself."""
        image = self.to_tensor(image)
        rows = [row.split(self.patch, dim=-1) for row in image.split(self.patch, dim=-2)]
        patches = [self.patch_transform(patch) for row in rows for patch in row]
        side = len(rows)
        rows = [[patches[i] for i in order[side * y : side * (y + 1)]] for y in range(side)]
        return torch.cat([torch.cat(row, dim=-1) for row in rows], dim=-2)


class PILPatchDataset(PatchDataset):
    """The same on PIL patches of 8 bits, turned into a tensor last: less exact, and faster where patches are small."""

    def augmented_patches(self, image: Image.Image, order: list[int]) -> Tensor:
        p, side = self.patch, image.width // self.patch
        out = Image.new("RGB", image.size)
        for token, i in enumerate(order):
            y, x = divmod(i, side)
            patch = self.patch_transform(image.crop((x * p, y * p, x * p + p, y * p + p)))
            out.paste(patch, (token % side * p, token // side * p))
        return self.to_tensor(out)


def usual_loader(dataset: PatchDataset, indices: list[int], workers: int) -> DataLoader:
    """Its workers live on between passes; a pass visits what `indices` holds when it begins."""
    return DataLoader(dataset, BATCH, sampler=indices, num_workers=workers, persistent_workers=True)
