"""``fairpo embed``: images or texts through a frozen backbone, once, into a store on disk."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from fairpo.cli import options


def embed(
    data: options.Data,
    out: Annotated[Path, typer.Option(help="Folder of the store; an unfinished one goes on.")],
    backbone: options.Backbone = None,
    pooling: options.Pooling = None,
    dtype: Annotated[str, typer.Option(help="fp32, bf16 or autocast.")] = "fp32",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Items a forward pass.")] = 32,
    shard_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows a file; at most 64 files by default.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads that read ahead.")] = 2,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Rows without labels will do, for predictions.")
    ] = False,
    format_name: options.Format = None,
    data_root: options.DataRoot = None,
    label_xml: options.LabelXml = None,
    reading: options.Reading = None,
    fetch: options.Fetch = False,
    threads: options.Threads = 1,
    as_json: options.Json = False,
) -> None:
    """Embed DATA once; training then reads the store as its DATA.

    Stopped at any moment, the same command goes on. Under torchrun or accelerate each process
    embeds its share of the files.
    """
    from fairpo.cli.backbones import default_backbone, quieten_transformers
    from fairpo.cli.show import count_bar, print_json, say
    from fairpo.data.embed import check_embedding, embed_data
    from fairpo.models.backbones import DIGITS, load_backbone

    options.set_threads(threads)
    quieten_transformers()
    told = options.data_options(reading, format_name, data_root, label_xml, fetch)
    if unlabelled:
        told = told.model_copy(update={"unlabelled": True})
    loaded = options.load(data, told)
    kind = check_embedding(loaded, out).kind
    name = backbone or (DIGITS if data == DIGITS else default_backbone(kind))
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if device == "auto" and "LOCAL_RANK" in os.environ:
        device = _own_device(int(os.environ["LOCAL_RANK"]))
    model = load_backbone(name, kind=kind, pooling=pooling, dtype=dtype, device=device, fetch=fetch)
    own = math.ceil(loaded.n_rows / world_size)
    try:
        with count_bar(f"embedding {name}", own, f"{kind}s", hidden=rank > 0) as count:
            done = embed_data(
                loaded,
                model,
                out,
                batch_size=batch_size,
                shard_rows=shard_rows,
                workers=workers,
                rank=rank,
                world_size=world_size,
                progress=count,
            )
    except KeyboardInterrupt:
        say("stopped; the same command goes on where it was.")
        raise typer.Exit(130) from None
    if rank:
        return
    rate = done.n_done / done.seconds
    if as_json:
        print_json(
            {
                "store": str(out),
                "rows": done.n_rows,
                "features": done.n_features,
                "embedded": done.n_done,
                "unreadable": list(done.unreadable),
                "seconds": round(done.seconds, 3),
                "items_per_second": round(rate, 2),
            }
        )
        return
    if done.unreadable:
        shown = ", ".join(done.unreadable[:5]) + (", ..." if len(done.unreadable) > 5 else "")
        say(f"note: {len(done.unreadable)} items could not be read and are in no split: {shown}")
    by = " by the first process" if world_size > 1 else ""
    print(
        f"{done.n_rows} rows x {done.n_features} features: {out} "
        f"({done.n_done} embedded now{by}, {rate:.1f} {kind}s/s)"
    )


def _own_device(local_rank: int) -> str:
    import torch

    return f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu"
