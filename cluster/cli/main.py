"""The one list of verbs."""

import typer

from cluster.cli.add import add
from cluster.cli.demo import demo
from cluster.cli.export import export
from cluster.cli.fit import fit
from cluster.cli.import_labels import import_labels
from cluster.cli.label import label
from cluster.cli.next import next as next_frames
from cluster.cli.output import verb
from cluster.cli.plan import plan
from cluster.cli.prelabel import prelabel
from cluster.cli.rollback import rollback
from cluster.cli.serve import serve
from cluster.cli.simulate import simulate
from cluster.cli.status import status
from cluster.cli.tune import tune

__all__ = ["VERBS", "app", "main"]

VERBS = (demo, add, fit, label, next_frames, status, rollback, prelabel, import_labels, export, simulate, plan, tune, serve)

app = typer.Typer(
    name="micromodels",
    help="Small models, each overfitted to one video or scene from about five labelled frames, that label the rest of it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for function in VERBS:
    app.command(name=function.__name__.replace("_", "-"))(verb(function))


def main() -> None:
    """Run the verb on the command line; exits 0 when every shard succeeded, 3 when some failed, 2 for bad usage or input."""
    app()
