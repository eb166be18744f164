variable "environment" {
  type        = string
  description = "Name of the environment; all names begin with headrace-<environment>."

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.environment))
    error_message = "Expected 2 to 12 lower-case letters and digits, a letter first: names of load balancers hold no more."
  }
}

variable "account_id" {
  type        = string
  description = "The only AWS account that may be changed."

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "Expected 12 digits."
  }
}

variable "region" {
  type        = string
  description = "AWS region of everything but CloudFront; one that has Origin Shield."

  validation {
    condition = contains([
      "ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "eu-central-1",
      "eu-west-1", "eu-west-2", "me-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-2",
    ], var.region)
    error_message = "Origin Shield has to be in the region of the origins, and this one has none."
  }
}

variable "cidr" {
  type        = string
  default     = "10.0.0.0/16"
  description = "Addresses of the VPC."

  validation {
    condition     = can(cidrnetmask(var.cidr)) && endswith(var.cidr, "/16")
    error_message = "Expected a /16 network, such as 10.0.0.0/16."
  }
}

variable "nat_per_zone" {
  type        = bool
  description = "A NAT gateway in each zone; else one for all, which fails with its zone."
}

variable "disposable" {
  type        = bool
  description = "terraform destroy takes everything away, titles too."
}

variable "api_domain" {
  type        = string
  description = "Of the API, inside the VPC."
}

variable "api_certificate_arn" {
  type        = string
  description = "Of api_domain, in ACM in the region."
}

variable "origin_domain" {
  type        = string
  description = "By which CloudFront calls the origins."
}

variable "origin_certificate_arn" {
  type        = string
  description = "Of origin_domain, in ACM in the region."
}

variable "media_domain" {
  type        = string
  default     = null
  description = "What playback URLs begin with; null: CloudFront's own name."
}

variable "media_certificate_arn" {
  type        = string
  default     = null
  description = "Of media_domain, in ACM in us-east-1."

  validation {
    condition     = (var.media_certificate_arn == null) == (var.media_domain == null)
    error_message = "media_domain and media_certificate_arn go together: set both or neither."
  }
}

variable "price_class" {
  type        = string
  default     = "PriceClass_All"
  description = "Where viewers are served from: PriceClass_100 (North America, Europe), PriceClass_200, PriceClass_All."
}

variable "page_origins" {
  type        = list(string)
  default     = []
  description = "Web origins whose pages upload to S3, call the API and play by cookies: server.corsorigins."

  validation {
    condition     = alltrue([for origin in var.page_origins : can(regex("^https://[a-z0-9.-]+(:[0-9]+)?$", origin))])
    error_message = "Expected origins as browsers name them, such as https://studio.example."
  }
}

variable "deleted_originals_days" {
  type        = number
  default     = 30
  description = "How long a deleted original can be brought back."
}

variable "logs_days" {
  type        = number
  default     = 90
  description = "How long access logs are kept."
}

variable "queue_node_type" {
  type        = string
  description = "ElastiCache node type of the job queue."
}

variable "kubernetes_version" {
  type        = string
  default     = "1.34"
  description = "Minor version of Kubernetes."
}

variable "admin_role_arns" {
  type        = list(string)
  description = "IAM roles that administer the cluster."
}

variable "admin_cidrs" {
  type        = list(string)
  default     = []
  description = "From where the cluster's API is reached over the internet; empty: from the VPC alone."

  validation {
    condition     = !contains(var.admin_cidrs, "0.0.0.0/0")
    error_message = "Name the networks of your administrators instead of 0.0.0.0/0."
  }
}

variable "general_nodes" {
  type        = object({ instance_types = list(string), min = number, max = number })
  description = "On-demand nodes of api, origin and what the cluster itself runs."
}

variable "worker_nodes" {
  type        = object({ instance_types = list(string), min = number, max = number })
  description = "Spot nodes of workers, compute-optimised: an interruption costs the chunks in hand."
}

variable "gpu_nodes" {
  type        = object({ instance_types = list(string), min = number, max = number })
  default     = null
  description = "Spot nodes of GPU workers; null: none."
}

variable "alarm_emails" {
  type        = list(string)
  description = "Who is told of alarms and costs."
}

variable "monthly_budget_usd" {
  type        = number
  description = "Told at 80 % of it, and when it is forecast to be passed."
}

variable "signed_playback" {
  type        = object({ mode = string, public_keys = list(string), cookie_domain = optional(string) })
  default     = null
  description = "CloudFront's signatures instead of tokens; the first of the public keys (PEM) belongs to signing_private_key."

  validation {
    condition     = try(contains(["cloudfront-cookie", "cloudfront-url"], var.signed_playback.mode), true)
    error_message = "Expected mode cloudfront-cookie or cloudfront-url."
  }

  validation {
    condition     = var.signed_playback == null || length(var.page_origins) > 0
    error_message = "Browsers take an answer to a request with cookies only if page_origins names the page."
  }
}
