"""STORE WRITER BATCHES: append batches to the ledger, for ever or that many, and print each number once it is acknowledged."""

import sys
from itertools import count

from training.data.annotations import Annotation
from training.data.human_actions import HumanAction
from training.store.ledger import Ledger
from training.store.local import LocalObjects


def action(event_id: str, frame_index: int) -> HumanAction:
    return HumanAction(
        event_id=event_id,
        action="draw",
        round_kind="labels",
        shard_id="dog",
        ontology="detection.dog",
        frame_index=frame_index,
        who="ann",
        when="2026-01-02T03:04:05+00:00",
        after=Annotation(class_name="dog", bbox_xyxy=(1.0, 2.0, 3.0, 4.5)),
    )


def main(url: str, writer: str, batches: int) -> None:
    ledger = Ledger(LocalObjects(url))
    for turn in range(batches) if batches else count():
        receipt = ledger.append([action(f"{writer}-{turn}-{part}", turn) for part in range(3)])
        assert receipt.recorded == 3, receipt
        print(turn, flush=True)  # noqa: T201 (this is the acknowledgement)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
