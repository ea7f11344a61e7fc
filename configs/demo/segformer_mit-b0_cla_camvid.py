_base_ = './segformer_mit-b0_camvid.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(decode_head=dict(type='CLASegformerHead'))
