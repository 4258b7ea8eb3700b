"""Where the time of a training step goes (train/profile.py), as a table."""

from relvit_lab.common.table import Table


def profile_table(found: dict) -> Table:
    """A profile as a table: what each part of a step takes, and what that makes of the device."""
    times = found["milliseconds"]
    rows = [(name, f"{ms:.2f}", f"{100 * ms / times['step']:.1f}") for name, ms in times.items()]
    product, peak = found["product"], found["peak"]
    rows_, inner, columns = product["shape"]
    memory = found["peak_memory_mib"]
    caption = [
        f"{found['stage']}: a step of {found['images']} images on {found['device']}, {found['precision']}: medians of "
        f"{found['steps']} steps",
        f"{found['images_per_second']:,.0f} images/s; {found['gflop_per_image']:.3g} GFLOP an image in training, so "
        f"{found['tflops']:.3g} TFLOP/s a device",
        f"{100 * product['share']:.0f} % of a matrix product of {rows_:,} x {inner} by {inner} x {columns} "
        f"({product['tflops']:.3g} TFLOP/s here)"
        + (f"; {100 * peak['share']:.0f} % of the data sheet's {peak['tflops']:g}" if peak else ""),
    ]
    if memory is not None:
        caption.append(f"peak memory {memory:,.0f} MiB")
    return Table(("part of a step", "ms", "%"), tuple(rows), tuple(caption))
