from mien.evaluation.significance import MetricResults
from mien.studies.tables import count_clips


def test_a_table_names_on_how_many_videos_it_rests():
    few, single, many = (
        MetricResults(num_clips=clips, num_clusters=videos, metrics={})
        for clips, videos in ((180, 3), (80, 80), (90, 31))
    )
    assert count_clips(few, "test") == (
        "180 clips of test in 3 videos (few: t intervals with 2 degrees of freedom)"
    )
    assert count_clips(single, "test") == "80 clips of test"
    assert count_clips(many, "valid").endswith("videos")
