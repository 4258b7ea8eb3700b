"""The paper, section by section: which file has what.

§3, eq. 1-4      patches.py     an image as N = side * side patches of P x P pixels, and back
                 backbones/     from patches to tokens z (B, N, D): ViT, Swin-T, T2T-ViT-14, timm's ViTs
eq. 2            attention.py   what each token attends to, layer by layer
§3.1, eq. 5-7    relations.py   the targets: SpRel, Dist, Ang, AbsPos
§3.1, eq. 10-13  tasks.py       a task: head, target, loss, metric; task_check.py: one of your own, tried;
                 blocks.py      losses a few images at a time
§3.2, eq. 8, 9   heads.py       scores of pairs (B, K, N, N) and of tokens (B, K, N)
§3.2, figure 2   model.py       a backbone with the heads of its tasks and a classifier
§3.2.1           patches.py     mega-patches: random cuts; resample.py: each cell resized to P x P
§4.1             augment.py     images and single patches augmented, whole batches at once; colour.py
                 pipeline.py    from stored images to what the backbone sees
                 schedule.py    AdamW, warm-up and cosine
Table 3          drloc.py       the peer, L_drloc
"""
