from tests.support.hot_paths import hot_path

__all__ = ["hot_path"]
