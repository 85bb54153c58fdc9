"""The models that Triton serves: where their weights come from, how they are converted, and Triton's repository of
them.
"""
