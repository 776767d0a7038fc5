"""How a payload and a result become JSON and come back."""

from taskmill.define.codec.codec import Codec as Codec
from taskmill.define.codec.codec import MemoCodec as MemoCodec
from taskmill.define.codec.codec import check_size as check_size
