environment            = "production"
account_id             = "444455556666"
region                 = "eu-central-1"
nat_per_zone           = true
disposable             = false
api_domain             = "api.studio.example"
api_certificate_arn    = "arn:aws:acm:eu-central-1:444455556666:certificate/00000000-0000-4000-8000-000000000001"
origin_domain          = "origin.studio.example"
origin_certificate_arn = "arn:aws:acm:eu-central-1:444455556666:certificate/00000000-0000-4000-8000-000000000002"
media_domain           = "media.studio.example"
media_certificate_arn  = "arn:aws:acm:us-east-1:444455556666:certificate/00000000-0000-4000-8000-000000000003"
page_origins           = ["https://studio.example"]
queue_node_type        = "cache.m7g.large"
admin_role_arns        = ["arn:aws:iam::444455556666:role/administrators"]
general_nodes          = { instance_types = ["m7i.2xlarge"], min = 3, max = 12 }
worker_nodes           = { instance_types = ["c7i.4xlarge", "c7a.4xlarge", "c6i.4xlarge", "c6a.4xlarge"], min = 0, max = 50 }
alarm_emails           = ["media@studio.example"]
monthly_budget_usd     = 5000
