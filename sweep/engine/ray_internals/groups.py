"""The devices that Ray Train has reserved for a trial's workers, given back where the trial's own actor has died.

Ray Train reserves them as a placement group, which its controller, an actor below the trial's, gives back at the end.
Where the trial's actor is killed the controller dies with it, and Ray keeps the group until the whole job is over: the
next attempt would wait for its devices for ever. Ray Train has a detached actor that is to notice. But it asks Ray's
dashboard, which a Ray of our own is without; and it looks for whatever Ray runs on the machine, breaks where there are
several, and could take the devices from a living trial where it found somebody else's. So that actor is left out
(:mod:`sweep.engine.ray_internals.trainer`), and the driver looks, with the connection that it has.
"""

from __future__ import annotations

from typing import Any

import ray
from ray._private.state import state
from ray.core.generated import gcs_pb2
from ray.util.placement_group import PlacementGroup, remove_placement_group

_rows: Any = gcs_pb2
"""The rows of the head's tables; a generated module, whose names no type checker sees."""


def release_left() -> int:
    """Give back what dead actors of this driver's have reserved; how many placement groups that were.

    Raises:
        RayError: when the head does not answer.
    """
    groups = map(_rows.PlacementGroupTableData.FromString, _tables().get_placement_group_table())
    left = [group for group in groups if _is_left(group)]
    for group in left:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
    return len(left)


def _is_left(group: Any) -> bool:
    """Whether a placement group was made by an actor of this driver's that is dead; those of the driver itself, which
    is no actor, are Ray Tune's."""
    creator = ray.ActorID(group.creator_actor_id)
    ours = group.creator_job_id.hex() == ray.get_runtime_context().get_job_id()
    if not ours or creator.is_nil() or group.state == _rows.PlacementGroupTableData.REMOVED:
        return False
    known = _tables().get_actor_info(creator)
    return known is None or _rows.ActorTableData.FromString(known).state == _rows.ActorTableData.DEAD


def _tables() -> Any:
    """What the head knows of its cluster."""
    return state._connect_and_get_accessor()
